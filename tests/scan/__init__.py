"""
Review what we ship with the programs of others: checkov, kube-score and promtool.

`make scan` runs it. What a scanner finds in the manifests is mended or stands, argued, in
`exceptions.py`: at most three, each of which must still be found, so that none outlives its reason.
promtool reads the alert rules and the dashboard's queries, and tries the alerts.
"""
