# Events of a bucket: Storage publishes to Pub/Sub, Eventarc pushes to `finalized`, and events that are never acknowledged become dead letters.

locals {
  events        = var.events == null ? {} : { finalized = var.events }
  pubsub        = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  subscriptions = { for name, trigger in google_eventarc_trigger.finalized : name => trigger.transport[0].pubsub[0].subscription }
}

data "google_project" "this" {
  project_id = var.project
}

data "google_storage_project_service_account" "storage" {
  project = var.project
}

resource "google_service_account" "events" {
  for_each     = local.events
  project      = var.project
  account_id   = "grpc-functions-events"
  display_name = "Events for gRPC functions"
}

resource "google_project_iam_member" "event_receiver" {
  for_each = local.events
  project  = var.project
  role     = "roles/eventarc.eventReceiver"
  member   = google_service_account.events[each.key].member
}

resource "google_cloud_run_v2_service_iam_member" "events_invoker" {
  for_each = local.events
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.function["finalized"].name
  role     = "roles/run.invoker"
  member   = google_service_account.events[each.key].member
}

resource "google_project_iam_member" "storage_publisher" {
  for_each = local.events
  project  = var.project
  role     = "roles/pubsub.publisher"
  member   = data.google_storage_project_service_account.storage.member
}

resource "google_eventarc_trigger" "finalized" {
  for_each        = local.events
  project         = var.project
  name            = "finalized"
  location        = each.value.location
  service_account = google_service_account.events[each.key].email

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.storage.object.v1.finalized"
  }

  matching_criteria {
    attribute = "bucket"
    value     = each.value.bucket
  }

  destination {
    cloud_run_service {
      service = google_cloud_run_v2_service.function["finalized"].name
      region  = var.region
    }
  }

  depends_on = [
    google_project_iam_member.event_receiver,
    google_project_iam_member.storage_publisher,
    google_cloud_run_v2_service_iam_member.events_invoker,
  ]
}

resource "google_pubsub_topic" "dead_letters" {
  for_each = local.events
  project  = var.project
  name     = "grpc-functions-dead-letters"
}

# A topic without a subscription keeps nothing.
resource "google_pubsub_subscription" "dead_letters" {
  for_each                   = local.events
  project                    = var.project
  name                       = "grpc-functions-dead-letters"
  topic                      = google_pubsub_topic.dead_letters[each.key].id
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters_publisher" {
  for_each = local.events
  project  = var.project
  topic    = google_pubsub_topic.dead_letters[each.key].name
  role     = "roles/pubsub.publisher"
  member   = local.pubsub
}

resource "google_pubsub_subscription_iam_member" "subscription_reader" {
  for_each     = local.subscriptions
  project      = var.project
  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub
}

output "dead_letters" {
  description = "The command that attaches the dead-letter topic, because Eventarc creates the subscription of a trigger and Terraform cannot change it."
  value = [
    for name, subscription in local.subscriptions :
    "gcloud pubsub subscriptions update ${subscription} --dead-letter-topic=${google_pubsub_topic.dead_letters[name].id} --max-delivery-attempts=10"
  ]
}
