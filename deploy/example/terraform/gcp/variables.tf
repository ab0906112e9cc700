variable "project" {
  description = "Project that holds the bucket and its key."
  type        = string
}

variable "location" {
  description = "Region of the bucket. The key has to be in the same one."
  type        = string
  default     = "australia-southeast1"
}

variable "bucket" {
  description = "Name of the bucket. It is part of every address in the secrets."
  type        = string
  default     = "hayden-odoo-backups"
}
