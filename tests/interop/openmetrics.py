"""Reads OpenMetrics from standard input by the parser of prometheus_client, which is strict, and prints
the families and each exemplar as JSON. Ends with 1 and the parser's words where it is not well formed.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def main():
    families = {}
    exemplars = []
    try:
        for family in text_string_to_metric_families(sys.stdin.read()):
            families[family.name] = family.type
            for sample in family.samples:
                if sample.exemplar:
                    exemplars.append({
                        "sample": sample.name,
                        "labels": sample.labels,
                        "trace_id": sample.exemplar.labels["trace_id"],
                        "value": sample.exemplar.value,
                        "time": float(sample.exemplar.timestamp),
                    })
    except ValueError as error:
        sys.exit(f"not OpenMetrics: {error}")
    print(json.dumps({"families": families, "exemplars": exemplars}))


if __name__ == "__main__":
    main()
