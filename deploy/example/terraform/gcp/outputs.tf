output "odoo_backup_sa_key" {
  description = "Key of the account as Google gives it: base64 of its JSON."
  value       = google_service_account_key.backup.private_key
  sensitive   = true
}

output "odoo_backup_kms_key" {
  description = "What HOLDFAST_GS_KMS_KEY is set to, so that an object under any other key is refused."
  value       = google_kms_crypto_key.backup.id
}
