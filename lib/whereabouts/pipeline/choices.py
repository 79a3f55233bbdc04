"""What there is to choose from: scales, and for each data set where it may come from beside being made here."""

SCALES = ("smoke", "demo", "paper")
SOURCES = {  # switch, below `data` in params.yaml -> words beside "synthetic"; folders of results are named after them
    "acdc": ("real",),
    "clevr_seg": ("released",),
    "chest": ("jsrt", "radiographs"),
    "mmwhs": ("mmwhs",),
    "volumes": ("decathlon",),
    "pancreas": ("tcia",),
    "ultrasound": ("hdf5",),
}
