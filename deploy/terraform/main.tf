# Functions as Cloud Run services, with a service account that has only the roles that they need. docs/deploy.md shows its use.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

locals {
  runtime = "${var.region}-docker.pkg.dev/serverless-runtimes/google-24/runtimes/nodejs24"
  live    = "/health/live"

  environments = {
    for name, function in var.functions : name => merge({
      AUTH                      = "iam"
      GOOGLE_CLOUD_PROJECT      = var.project
      BACKEND_URL               = var.backend.url
      UPLOAD_BUCKETS            = join(" ", var.buckets)
      MAX_CONCURRENT_REQUESTS   = tostring(function.concurrency)
      CLOUD_RUN_TIMEOUT_SECONDS = tostring(function.timeout)
    }, function.environment)
  }
}

resource "google_service_account" "functions" {
  project      = var.project
  account_id   = "grpc-functions"
  display_name = "gRPC functions"
}

resource "google_cloud_run_v2_service_iam_member" "backend_invoker" {
  project  = var.project
  location = var.region
  name     = var.backend.service
  role     = "roles/run.invoker"
  member   = google_service_account.functions.member
}

resource "google_storage_bucket_iam_member" "bucket_reader" {
  for_each = toset(var.buckets)
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = google_service_account.functions.member
}

resource "google_cloud_run_v2_service" "function" {
  for_each = var.functions

  project             = var.project
  name                = each.key
  location            = var.region
  deletion_protection = false

  build_config {
    source_location          = var.source_archive
    function_target          = each.key
    image_uri                = "${var.images}/${each.key}"
    base_image               = local.runtime
    enable_automatic_updates = true
  }

  template {
    service_account                  = google_service_account.functions.email
    timeout                          = "${each.value.timeout}s"
    max_instance_request_concurrency = each.value.concurrency

    scaling {
      min_instance_count = each.value.min_instances
      max_instance_count = each.value.max_instances
    }

    containers {
      image          = "${var.images}/${each.key}"
      base_image_uri = local.runtime

      resources {
        limits            = { cpu = "1", memory = each.value.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = { for name, value in local.environments[each.key] : name => value if value != "" }
        content {
          name  = env.key
          value = env.value
        }
      }

      # This path is open for any AUTH, and does not call the backend: if the backend is down, the functions must stay in service.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60
        http_get {
          path = local.live
        }
      }

      readiness_probe {
        period_seconds    = 5
        timeout_seconds   = 2
        failure_threshold = 3
        http_get {
          path = local.live
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "public_invoker" {
  for_each = { for name, function in var.functions : name => function if function.public }
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.function[each.key].name
  role     = "roles/run.invoker"
  member   = "allUsers"
}

output "urls" {
  description = "The URL of each function."
  value       = { for name, service in google_cloud_run_v2_service.function : name => service.uri }
}
