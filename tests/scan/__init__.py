"""
Review every manifest of ours with two scanners that others wrote: checkov and kube-score.

`make scan` runs it. What a scanner finds is mended or stands, argued, in `exceptions.py`: at most
three, each of which must still be found, so that none outlives its reason.
"""
