# What the backups of Odoo need of Google Cloud: a bucket whose objects are encrypted with a key of yours, and an account that
# may write objects there and nothing else.

resource "google_kms_key_ring" "backup" {
  name     = "backup"
  location = var.location
}

resource "google_kms_crypto_key" "backup" {
  name            = "backup-encryption"
  key_ring        = google_kms_key_ring.backup.id
  rotation_period = "7776000s"

  # Old versions stay: what was written under them is read with them. With the key all backups are gone.
  lifecycle {
    prevent_destroy = true
  }
}

# Cloud Storage itself uses the key, for whoever may read the bucket. The account below needs no right on it.
data "google_storage_project_service_account" "gcs" {}

resource "google_kms_crypto_key_iam_member" "gcs" {
  crypto_key_id = google_kms_crypto_key.backup.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.gcs.member
}

resource "google_storage_bucket" "backup" {
  name     = var.bucket
  location = var.location

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  encryption {
    default_kms_key_name = google_kms_crypto_key.backup.id
  }

  # Whoever gets hold of the account can delete backups, but not for good before this has passed.
  soft_delete_policy {
    retention_duration_seconds = 1209600
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  # A bucket cannot begin with a key that Cloud Storage may not use.
  depends_on = [google_kms_crypto_key_iam_member.gcs]
}

resource "google_service_account" "backup" {
  account_id   = "odoo-pg-backup"
  display_name = "Backups of Odoo: database and filestore"
}

# Exactly what restic, Holdfast and Barman ask for. buckets.get lets them see that the bucket is there and how it is set up.
resource "google_project_iam_custom_role" "backup" {
  role_id = "odooBackup"
  title   = "Backups of Odoo"
  permissions = [
    "storage.buckets.get",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
  ]
}

resource "google_storage_bucket_iam_member" "backup" {
  bucket = google_storage_bucket.backup.name
  role   = google_project_iam_custom_role.backup.id
  member = google_service_account.backup.member
}

# The private key is in Terraform's state from now on: keep the state where only few can read it.
resource "google_service_account_key" "backup" {
  service_account_id = google_service_account.backup.name
}
