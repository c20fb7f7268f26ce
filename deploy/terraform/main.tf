# The service as a Lambda function behind a URL of its own. Two steps, since a function needs its image to be there:
#
#   terraform apply -var region=eu-west-1                       # the repository
#   python3 deploy/image.py push --target lambda …              # the image, to the repository
#   terraform apply -var region=eu-west-1 -var image_uri=…      # the function

locals {
  functions = var.image_uri == "" ? 0 : 1

  # s3://BUCKET/PREFIX: images of feedback are objects below PREFIX/.
  bucket = split("/", trimprefix(var.feedback_images, "s3://"))[0]
  prefix = trim(trimprefix(var.feedback_images, "s3://${local.bucket}"), "/")
  images = local.prefix == "" ? "*" : "${local.prefix}/*"
}

resource "aws_ecr_repository" "images" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  repository = aws_ecr_repository.images.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The ten newest are kept, to go back to."
      selection = {
        tagStatus   = "any"
        countType   = "imageCountMoreThan"
        countNumber = 10
      }
      action = { type = "expire" }
    }]
  })
}

# The function may write its log, keep images of feedback where it takes any, and nothing else.
data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_days
}

data "aws_iam_policy_document" "logs" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.logs.json
}

data "aws_iam_policy_document" "feedback" {
  count = var.feedback_images == "" ? 0 : 1

  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["arn:aws:s3:::${local.bucket}/${local.images}"]
  }

  statement {
    actions   = ["s3:ListBucket"]
    resources = ["arn:aws:s3:::${local.bucket}"]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [local.prefix, local.images]
    }
  }
}

resource "aws_iam_role_policy" "feedback" {
  count = length(data.aws_iam_policy_document.feedback)

  name   = "feedback"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.feedback[0].json
}

resource "aws_iam_role_policy_attachment" "network" {
  count = length(var.subnets) == 0 ? 0 : 1

  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

resource "aws_lambda_function" "service" {
  count = local.functions

  function_name                  = var.name
  description                    = "Reads pages of handwriting."
  role                           = aws_iam_role.function.arn
  package_type                   = "Image"
  image_uri                      = var.image_uri
  architectures                  = [var.architecture]
  memory_size                    = var.memory
  timeout                        = var.timeout
  reserved_concurrent_executions = var.concurrency

  environment {
    variables = merge(
      {
        TEXT_RECOGNIZER_DEADLINE = tostring(var.timeout - 2)
        TEXT_RECOGNIZER_THREADS  = tostring(ceil(var.memory / 1769))
      },
      var.feedback == "" ? { TEXT_RECOGNIZER_FEEDBACK = "off" } : {
        TEXT_RECOGNIZER_FEEDBACK                      = var.feedback
        TEXT_RECOGNIZER_FEEDBACK_IMAGES               = var.feedback_images
      },
      length(var.api_keys) == 0 ? {} : { TEXT_RECOGNIZER_API_KEYS = join(",", var.api_keys) },
      var.environment,
    )
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  dynamic "vpc_config" {
    for_each = length(var.subnets) == 0 ? [] : [var.subnets]

    content {
      subnet_ids         = vpc_config.value
      security_group_ids = var.security_groups
    }
  }

  lifecycle {
    precondition {
      condition     = (var.feedback == "") == (var.feedback_images == "")
      error_message = "Give both feedback and feedback_images, or none: an instance keeps nothing of its own."
    }
  }

  depends_on = [
    aws_iam_role_policy.logs,
    aws_iam_role_policy.feedback,
    aws_iam_role_policy_attachment.network,
  ]
}

resource "aws_lambda_function_url" "service" {
  count = local.functions

  function_name      = aws_lambda_function.service[0].function_name
  authorization_type = var.public ? "NONE" : "AWS_IAM"
}

# A URL that everybody may call needs both permissions.
resource "aws_lambda_permission" "url" {
  count = var.public ? local.functions : 0

  statement_id           = "public-url"
  function_name          = aws_lambda_function.service[0].function_name
  action                 = "lambda:InvokeFunctionUrl"
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "invoke" {
  count = var.public ? local.functions : 0

  statement_id  = "public-invoke"
  function_name = aws_lambda_function.service[0].function_name
  action        = "lambda:InvokeFunction"
  principal     = "*"

  # Through the URL alone: otherwise any account of AWS could invoke the function past it.
  invoked_via_function_url = true
}
