"""The page of reference with every metric of the results table."""

from vision_studies.statistics.metrics import METRICS

PAGE = "reference/metrics.md"


def metric_pages() -> dict[str, str]:
    """Path below the documentation's folder -> Markdown."""
    lines = [
        "# Metrics",
        "",
        "What is measured of a run: columns of the [results table](../conventions.md#the-results-table), in its order. "
        "Trackers have them under the same names. Variants are compared by those that say so, on the seeds that both have.",
        "",
        "| column | meaning | unit | better | of | compared |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        compared = "yes" if metric.compared else ""
        lines.append(
            f"| `{metric.column}` | {metric.meaning} | {metric.unit} | {metric.better or ''} | {metric.of} | {compared} |"
        )
    lines += ["", "[How one is added](../extending/metric.md)."]
    return {PAGE: "\n".join(lines) + "\n"}
