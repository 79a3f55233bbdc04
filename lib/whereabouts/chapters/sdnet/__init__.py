"""SDNet (Chartsias et al. 2019): tables, claims, and where its trained networks are."""
