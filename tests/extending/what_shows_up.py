"""What the rest of the project knows of the toys, as JSON; runs in a copy to which they have been added."""

import json
import sys
from pathlib import Path

import yaml

from vision_studies.config.validation import validate_parameters
from vision_studies.errors import ParameterError

found = {}

# Validation of parameters, before torch is there.
conf = Path("conf/base")
base = {}
for file in sorted(conf.glob("parameters*.yml")):
    base |= yaml.safe_load(file.read_text(encoding="utf-8"))
base["study"] = {"name": "toys", "title": "t", "question": "q"}
run = base["cifar_resnet"]["run"]
run["model"] = {"name": "toy_perceptron", "width": 24}
run["augmentation"] = {"steps": [{"name": "toy_darken", "most": 0.5}]}
validate_parameters(base, str)
run["model"]["width"] = 0
run["augmentation"]["steps"][0]["name"] = "toy_darke"
try:
    validate_parameters(base, str)
except ParameterError as error:
    found["messages"] = str(error)
run["model"]["width"] = 24
run["augmentation"]["steps"][0]["name"] = "toy_darken"
found["torch_for_parameters"] = "torch" in sys.modules

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from tests.data.conftest import make_image_set  # noqa: E402

from vision_studies.config.network_run import RunSettings  # noqa: E402
from vision_studies.data.prepared import PreparedData  # noqa: E402
from vision_studies.data.splits import Splits  # noqa: E402
from vision_studies.models.statistics import count_parameters  # noqa: E402
from vision_studies.pipelines.alphanet.work.sources import classifier_layer, own_classifier  # noqa: E402
from vision_studies.pipelines.stacking.fair_opponents import widened_to  # noqa: E402
from vision_studies.studies.method import networks_of  # noqa: E402

settings = RunSettings.model_validate(run)
images = make_image_set(count=60, size=8)
data = PreparedData(images, Splits(np.arange(30), np.arange(30, 45), np.arange(45, 60)), {})

# The opponent of as many parameters.
wide = widened_to(settings.model, 50_000, data)
found["parameters_of_the_opponent"] = count_parameters(wide.build(**data.sizes))

# AlphaNet's classifier, and the features before it.
network = settings.model.build(**data.sizes).eval()
pixels, seen = torch.rand(5, 3, 8, 8), []
hook = classifier_layer(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
logits = network(pixels).detach().numpy()
scores = own_classifier(network, settings.model.logit_scale).scores(seen[0].detach().numpy())
found["largest_error_of_scores"] = float(np.abs(scores - logits).max())

# What the network is called.
found["architecture"] = networks_of("cifar_resnet").title({"model": settings.model.model_dump(mode="json")})

# Tables, comparisons and trackers, from rows of the results table.
from vision_studies.reports.study_pages import run_table  # noqa: E402
from vision_studies.reports.tables import run_rows  # noqa: E402
from vision_studies.statistics.comparisons import compare_metrics  # noqa: E402
from vision_studies.statistics.metrics import measured  # noqa: E402
from vision_studies.studies.results import validate_results  # noqa: E402
from vision_studies.tracking.study_log import run_record  # noqa: E402

identity = {"pipeline": "cifar_resnet", "study": "toys", "trial": 0, "configuration": "{}", "status": "complete"}
identity |= {"run_fingerprint": "a", "configuration_hash": "b", "data_fingerprint": "c"}
labels = np.arange(20) % 4
rows = [
    identity | {"variant": variant, "seed": seed} | measured(random.dirichlet(np.ones(4), 20), labels)
    for random in [np.random.default_rng(0)]
    for variant in ("one", "two")
    for seed in range(3)
]
results = validate_results(pd.DataFrame(rows))
compared = compare_metrics(results).set_index("metric")
found["compared"] = compared.loc["test_top_two", ["variant", "mean", "sentence"]].fillna("").to_dict("records")
found["mean"] = float(results["test_top_two"].head(3).mean())
table = run_table(run_rows(results))
place = [column["title"] for column in table["columns"]].index("Among the first two")
found["cell"], found["value"] = table["rows"][0]["cells"][place], float(results["test_top_two"].iloc[0])
found["tracked"] = run_record(results.to_dict("records")[0], None, table="results").metrics["test_top_two"]

# The reference.
from scripts.docs_tools.metric_pages import PAGE, metric_pages  # noqa: E402
from scripts.docs_tools.parameter_pages import ParameterPages  # noqa: E402

found["kinds"] = ParameterPages(Path("conf")).pages()["reference/parameters/kinds.md"]
found["metrics_page"] = metric_pages()[PAGE]

print(json.dumps(found))
