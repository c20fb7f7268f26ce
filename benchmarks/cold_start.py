"""How long an instance of the AWS Lambda function takes from nothing until its model is loaded.

    python benchmarks/cold_start.py --runs 5

A fresh interpreter imports the handler as AWS's runtime client does. Seconds on the clock depend on what else the
machine does; processor seconds hardly do.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

PROGRAM = "from text_recognizer.service import aws_lambda; assert aws_lambda.handler({})['status'] == 400"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for _ in range(options.runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        # An instance ends by being killed; leaving in order is no part of the start.
        subprocess.run([sys.executable, "-c", PROGRAM + "; import os; os._exit(0)"], check=True)
        seconds = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{seconds:.2f} s on the clock, {spent:.2f} s of processor time")


if __name__ == "__main__":
    main()
