# terraform init && terraform test: plans against a provider that answers by itself, without an account.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\": \"2012-10-17\", \"Statement\": []}" }
  }
}

variables {
  region    = "eu-west-1"
  image_uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/text-recognizer@sha256:00"
}

run "repository_alone" {
  command = plan

  variables {
    image_uri = ""
  }

  assert {
    condition     = length(aws_lambda_function.service) == 0
    error_message = "A function needs its image first."
  }
}

run "no_feedback" {
  command = plan

  assert {
    condition     = aws_lambda_function.service[0].environment[0].variables.TEXT_RECOGNIZER_FEEDBACK == "off"
    error_message = "An instance has no place for feedback of its own."
  }

  assert {
    condition     = length(aws_iam_role_policy.feedback) == 0 && length(aws_lambda_function.service[0].vpc_config) == 0
    error_message = "Without feedback the function may reach no bucket."
  }
}

run "feedback" {
  command = plan

  variables {
    feedback        = "postgresql+psycopg://reader:word@db.example/feedback"
    feedback_images = "s3://pictures/feedback/"
    subnets         = ["subnet-1"]
    security_groups = ["sg-1"]
  }

  assert {
    condition = (
      aws_lambda_function.service[0].environment[0].variables.TEXT_RECOGNIZER_FEEDBACK == var.feedback
      && aws_lambda_function.service[0].environment[0].variables.TEXT_RECOGNIZER_FEEDBACK_IMAGES == var.feedback_images
    )
    error_message = "The function should keep feedback where it is told to."
  }

  assert {
    condition = (
      data.aws_iam_policy_document.feedback[0].statement[0].resources == toset(["arn:aws:s3:::pictures/feedback/*"])
      && data.aws_iam_policy_document.feedback[0].statement[1].resources == toset(["arn:aws:s3:::pictures"])
    )
    error_message = "The function may touch its part of the bucket, and nothing else."
  }

  assert {
    condition     = length(aws_iam_role_policy_attachment.network) == 1
    error_message = "A function in a VPC has to make its network interface."
  }
}

run "images_without_a_database" {
  command = plan

  variables {
    feedback_images = "s3://pictures"
  }

  expect_failures = [aws_lambda_function.service]
}
