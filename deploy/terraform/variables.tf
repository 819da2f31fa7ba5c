variable "project" {
  description = "The ID of the project."
  type        = string
}

variable "region" {
  description = "Where the functions and their backend are."
  type        = string
}

variable "source_archive" {
  description = "gs://BUCKET/OBJECT: a zip of the project's files that .gcloudignore leaves."
  type        = string
}

variable "images" {
  description = "Where images are built to, a repository of Artifact Registry: REGION-docker.pkg.dev/PROJECT/REPOSITORY."
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
  description = "What is deployed: each function of src/deployed.ts by its name. `public` lets anybody call: then AUTH in `environment` says who is let in."
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
  description = "The bucket whose new objects `finalized` is told of, and where it is: a region, or eu, us, asia. Null: none."
  type = object({
    bucket   = string
    location = string
  })
  default = null
}
