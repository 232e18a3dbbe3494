"""
Hold every reason why a tuning is not done yet; see ``reasons`` for how they are written.

Must not import anything of this package but the spelling of conditions and `finding`.
"""

from workspace_operator import conditions
from workspace_operator.status.finding import Reason

NO_POD = Reason(
    word=conditions.JOB_STATUS_PENDING,
    sentence="Job {name} has made no pod yet. Should it stay so: kubectl describe job {name}.",
    phase="Scheduling",
)
STARTING = Reason(
    word=conditions.JOB_STATUS_PENDING,
    sentence="The training in pod {pod} is starting.",
    phase="StartingTraining",
)
LOADING_BASE = Reason(
    word="LoadingWeights",
    sentence="Pod {pod} is loading the base model.",
    phase="LoadingWeights",
)
PREPARING = Reason(
    word="PreparingData", sentence="Pod {pod} is reading the data.", phase="PreparingData"
)
TRAINING = Reason(
    word="Training",
    sentence="Pod {pod} is training; status.tuning has the figures.",
    phase="Training",
)
SAVING = Reason(word="Saving", sentence="Pod {pod} is writing the adapter.", phase="Saving")
PUSHING = Reason(
    word="Pushing",
    sentence="Pod {pod} is bringing the adapter to where it goes: {output}.",
    phase="Pushing",
)
ENDING = Reason(
    word="Saving",
    sentence="The training in pod {pod} has ended well; its Job is about to say so.",
    phase="Saving",
)
RETRYING = Reason(
    word="TrainingRetried",
    sentence="The training in pod {pod} ended with exit code {code}: {quote}. "
    "It is tried again, at most 3 times.",
    phase="Retrying",
)
REFUSED = Reason(
    word="TrainingRefused",
    sentence="The training cannot be done as asked: {quote}. Correct the Workspace, its ConfigMap "
    "or its Secrets; an edit starts another Job, and so does kubectl delete job {name}.",
    phase="Failed",
    failed=True,
)
FAILED = Reason(
    word="TrainingFailed",
    sentence="The training was given up, the last time with exit code {code}: {quote}. Details: "
    "kubectl logs job/{name}. An edit starts another Job, and so does kubectl delete job {name}.",
    phase="Failed",
    failed=True,
)
JOB_FAILED = Reason(
    word="TrainingFailed",
    sentence="Job {name} was given up: {quote}. "
    "An edit starts another Job, and so does kubectl delete job {name}.",
    phase="Failed",
    failed=True,
)
