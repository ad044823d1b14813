"""What the page of a study shows of its images."""

from vision_studies.studies.method import FigureText, PageSection

SECTION = PageSection(
    title="Images",
    figures={
        "data_card": FigureText(
            "What was trained on", "Some training images of each class, and the number of images in each split."
        ),
        "image_check": FigureText(
            "Images to look at", "Images that the check of the source found doubtful, and copies of one picture."
        ),
    },
    charts=(),
)
