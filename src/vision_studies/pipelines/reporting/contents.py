"""What a page shows of each pipeline, in what order and in what words."""

PIPELINES = {
    "cifar_resnet": "Residual networks",
    "stacking": "Stacked networks",
    "transfer_cuts": "Cut networks",
    "clustering": "Clusters of activations",
    "mlp_transfer": "Hyperparameter transfer",
    "alphanet": "Classes with few images",
    "data_prep": "Images",
}
"""Pipeline -> its title, in the order of the page."""

# Figures in the order of the page, with what they are called and what to look for in them.
FIGURES: dict[tuple[str, str], tuple[str, str]] = {
    ("cifar_resnet", "comparison"): (
        "Variants compared",
        "Test accuracy of single runs (dots), their mean (diamond) and its interval (bar).",
    ),
    ("cifar_resnet", "learning_curves"): (
        "Learning curves",
        "Loss, validation accuracy and learning rate by epoch. Training loss is higher than it looks: its images are "
        "augmented and its labels smoothed.",
    ),
    ("cifar_resnet", "confusion_matrix"): (
        "Confusion matrix",
        "True against predicted class on the test images, for the run with the best validation accuracy.",
    ),
    ("cifar_resnet", "prediction_grid"): (
        "Predictions",
        "Test images drawn at random, with the three most probable classes; a blue bar is the true class.",
    ),
    ("cifar_resnet", "reliability"): (
        "Reliability",
        "Accuracy against confidence: on the dashed line confidence can be taken at its word. Below, images in each bin.",
    ),
    ("stacking", "comparison"): (
        "Stacks compared",
        "Test accuracy of single runs (dots), their mean (diamond) and its interval (bar).",
    ),
    ("stacking", "opponents"): (
        "The best stack and its opponents",
        "The stack with the best validation accuracy beside what it has to beat: networks and averages of the same cost.",
    ),
    ("stacking", "efficiency"): (
        "Accuracy and cost",
        "Mean test accuracy against parameters, operations for an image and training time.",
    ),
    ("stacking", "parts"): (
        "Stacks and their parts",
        "Validation accuracy of stack and base learners by epoch, and below how differently the learners err.",
    ),
    ("stacking", "learning_curves"): (
        "Learning curves of the stacks",
        "Loss, validation accuracy and learning rate by epoch.",
    ),
    ("transfer_cuts", "modes"): (
        "Every cut",
        "Mean test accuracy of networks that keep so many convolutions, with few and with many images of the new classes, over "
        "the baseline that starts from nothing.",
    ),
    ("transfer_cuts", "box_plot"): (
        "Runs of each cut",
        "Test accuracy of single runs. Rank 1: no cut is significantly better; grey where so few repeats cannot tell.",
    ),
    ("transfer_cuts", "difference_lines"): (
        "What a cut gains",
        "Median test accuracy of each cut minus that of the baseline, by the share of the images.",
    ),
    ("transfer_cuts", "heat_map"): (
        "Share and cut",
        "Mean test accuracy of every share of the images and every cut.",
    ),
    ("clustering", "cluster_box_plot"): (
        "Clusters and classes",
        "How well clusters of a layer's activations agree with the classes: 0 is chance, 1 is agreement.",
    ),
    ("clustering", "score_lines"): (
        "Clusters and the number of images",
        "The same by the share of the images, layer by layer.",
    ),
    ("clustering", "effective_rank"): (
        "Effective rank",
        "How many directions the weights of a layer use, after pretraining and before it.",
    ),
    ("mlp_transfer", "search_test_loss_over_seeds"): (
        "Architectures after tuning",
        "Test loss of every architecture trained anew with its own best hyperparameters, seed by seed.",
    ),
    ("mlp_transfer", "regret_matrix_mean"): (
        "Regret",
        "What it costs an architecture (row) to be trained with the hyperparameters tuned for another (column).",
    ),
    ("mlp_transfer", "relative_regret_matrix"): (
        "Relative regret",
        "The same as a ratio: 1 is no loss.",
    ),
    ("mlp_transfer", "transfer_test_loss"): (
        "Test loss of every pair",
        "Rows are trained, columns gave the hyperparameters; the diagonal is at home.",
    ),
    ("mlp_transfer", "loss_curves"): (
        "Loss curves",
        "Training and validation loss of each architecture's best trial.",
    ),
    ("mlp_transfer", "importance"): (
        "Importance of hyperparameters",
        "Share of the variance of the validation loss that each hyperparameter explains in the search.",
    ),
    ("mlp_transfer", "slices"): (
        "The search",
        "Validation loss of every trial against each hyperparameter; the chosen trials are large.",
    ),
    ("alphanet", "split_accuracies"): (
        "Few, medium and many",
        "Test accuracy of classes with few, medium and many training images; broken lines are the classifier without AlphaNet.",
    ),
    ("alphanet", "class_gains"): (
        "Who wins and who pays",
        "Change in test accuracy of every class.",
    ),
    ("alphanet", "coefficients"): (
        "What is borrowed",
        "Coefficients of each few class's neighbours, from the nearest to the farthest.",
    ),
    ("alphanet", "prediction_changes"): (
        "What becomes of predictions",
        "Test images that are taken for their own class, for a neighbour of it, or for another class, before and after.",
    ),
    ("data_prep", "data_card"): (
        "What was trained on",
        "Some training images of each class, and the number of images in each split.",
    ),
}
