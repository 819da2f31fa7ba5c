variable "project" {
  description = "The ID of the project."
  type        = string
}

variable "region" {
  description = "The region of the functions and their backend."
  type        = string
}

variable "source_archive" {
  description = "gs://BUCKET/OBJECT: a zip of the project's files that .gcloudignore does not exclude."
  type        = string
}

variable "images" {
  description = "The Artifact Registry repository for the built images: REGION-docker.pkg.dev/PROJECT/REPOSITORY."
  type        = string
}

variable "backend" {
  description = "The Cloud Run service that the functions call, and its URL."
  type = object({
    service = string
    url     = string
  })
}

variable "buckets" {
  description = "The buckets that upload and finalized read from."
  type        = list(string)
  default     = []
}

variable "functions" {
  description = "The functions of src/deployed.ts to deploy, by name. `public` lets everybody call: then AUTH in `environment` must decide who is admitted."
  type = map(object({
    environment   = optional(map(string), {})
    public        = optional(bool, false)
    timeout       = optional(number, 300)
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 80)
    min_instances = optional(number, 0)
    max_instances = optional(number, 10)
  }))
}

variable "events" {
  description = "The bucket whose new objects `finalized` gets events for, and its location: a region, or eu, us, asia. Null: none."
  type = object({
    bucket   = string
    location = string
  })
  default = null
}
