output "repository" {
  description = "Where deploy/image.py pushes to."
  value       = aws_ecr_repository.images.repository_url
}

output "url" {
  description = "Where the service answers; empty until there is a function."
  value       = one(aws_lambda_function_url.service[*].function_url)
}
