"""`python -m text_recognizer` is the command `text-recognizer`."""

from text_recognizer.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
