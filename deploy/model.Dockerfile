# A model of yours in an image of the service or of the function; deploy/image.py push builds it.
ARG IMAGE=text-recognizer:latest
FROM ${IMAGE}
COPY bundle /opt/bundle
ENV TEXT_RECOGNIZER_MODEL=/opt/bundle
