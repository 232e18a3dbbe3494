"""
Publish a release: push images and chart, sign each digest, attest what is in it, and check it all.

`python -m release` (or `make release`) does it. What was pushed is known by its digest from then
on: the signature, the bill of materials and the values that install the release all name that, so
that a tag which somebody moves later changes nothing. What the registry holds at the end has been
verified with the public key; the values are written last, so that there are none of a release that
is not signed whole.

Imports the harness that builds cosign and helm (tests.cluster), and nothing of the operator.
"""
