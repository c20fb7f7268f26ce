variable "name" {
  description = "Of the function, the image repository and what belongs to them."
  type        = string
  default     = "text-recognizer"
}

variable "region" {
  description = "AWS region, such as eu-west-1."
  type        = string
}

variable "image_uri" {
  description = "Image by digest, as deploy/image.py prints it after pushing; empty: only the repository is made, to push to."
  type        = string
  default     = ""

  validation {
    condition     = var.image_uri == "" || can(regex("^[0-9]+\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/.+(@sha256:|:).+$", var.image_uri))
    error_message = "Lambda runs images of ECR in its own region only: push there, and give REPOSITORY@sha256:… or REPOSITORY:TAG."
  }
}

variable "architecture" {
  description = "The processor that the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Give x86_64 or arm64."
  }
}

variable "memory" {
  description = "MB; processor time comes with it, one core for 1769 MB."
  type        = number
  default     = 3538

  validation {
    condition     = var.memory >= 1024 && var.memory <= 10240
    error_message = "Give 1024 to 10240: the model and a large page do not fit into less."
  }
}

variable "timeout" {
  description = "Seconds for a page; the application answers by itself two seconds before."
  type        = number
  default     = 60

  validation {
    condition     = var.timeout >= 10 && var.timeout <= 900
    error_message = "Give 10 to 900."
  }
}

variable "concurrency" {
  description = "Instances at most, which also caps what it can cost; -1: as many as the account allows."
  type        = number
  default     = 10
}

variable "public" {
  description = "Whether everybody may call the function's URL, rather than those whom IAM lets; give api_keys with it."
  type        = bool
  default     = false
}

variable "api_keys" {
  description = "One of them must come with each request, as Authorization: Bearer KEY; none: whoever may call may read."
  type        = list(string)
  default     = []
  sensitive   = true
}

variable "feedback" {
  description = "Where feedback is kept, postgresql+psycopg://USER:PASSWORD@HOST/DATABASE; empty: none is taken. The image needs the extras postgres and s3."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.feedback == "" || can(regex("^postgresql\\+psycopg://.+", var.feedback))
    error_message = "Give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE: an instance has no disk for anything else."
  }
}

variable "feedback_images" {
  description = "Where its images are, s3://BUCKET/PREFIX; the bucket has to be there."
  type        = string
  default     = ""

  validation {
    condition     = var.feedback_images == "" || can(regex("^s3://[a-z0-9.-]+(/.*)?$", var.feedback_images))
    error_message = "Give s3://BUCKET/PREFIX."
  }
}

variable "subnets" {
  description = "Of a VPC that the function should be in, to reach a database there; then it reaches S3 by a gateway endpoint, and image_url by a NAT."
  type        = list(string)
  default     = []
}

variable "security_groups" {
  description = "For the function in these subnets."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "More settings of docs/serve/service.md, such as TEXT_RECOGNIZER_IMAGE_URLS = \"off\"."
  type        = map(string)
  default     = {}
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}
