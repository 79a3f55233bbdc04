"""SDNet (Chartsias 2019): an image is what is where (the anatomy factor s) and how it looks (the modality factor z)."""
