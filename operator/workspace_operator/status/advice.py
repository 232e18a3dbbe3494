"""
Say for every reason what to do, at more length than a condition has.

The user's page (docs/conditions.md) is written from this and from the reasons; a test holds that
each reason of a condition, of a plan that is refused and of a claim has its entry.
Must not be imported by the operator.
"""

# By word, in the order of a start.
ADVICE: dict[str, str] = {
    "InvalidSpec": "Correct the field that the message names and apply the manifest again. What "
    "runs is left as it is meanwhile. The rules stand in [rules.md](rules.md).",
    "UnknownPreset": "Take one of the names that the message offers, or have the administrator add "
    "the preset (chart: `presets`). The name cannot be changed: delete the Workspace, apply anew.",
    "PlanRefused": "The message names the field, the value and what to write instead.",
    "PlanOnly": "Read `status.plan`; remove the annotation `atelier.dev/plan` to go ahead.",
    "MemoryDoesNotFit": "Take one of the instance types in the message; the arithmetic there says "
    "what is missing. Nothing has been bought. Who knows better than the table may skip the check "
    'by the annotation `kaito.sh/bypass-resource-checks: "true"`.',
    "NoInstanceTypeFits": "No machine known for this cloud holds the model: name one in "
    "`resource.instanceType`, or take a smaller model.",
    "InstanceTypeNeeded": "A template says nothing about the machine: name it in "
    "`resource.instanceType`, or in the annotation `atelier.dev/instance-types`.",
    "InvalidAnnotation": "Correct the annotation; the message has its value and its form.",
    "ConfigMapNotFound": "Create the ConfigMap of `inference.config` in the Workspace's namespace, "
    "or remove the field. It is looked for again by itself.",
    "ConfigMapKeyMissing": "Put the settings under the key `inference_config.yaml`.",
    "ConfigInvalid": "The message has the place in the file, the value and what may stand there. "
    "Edit the ConfigMap; it is read again by itself.",
    "ConfigDoesNotFit": "The context that the ConfigMap asks for does not fit beside the weights: "
    "write at most the number in the message, or take a larger GPU.",
    "RuntimeNotOffered": "Only the Transformers runtime is offered: set the annotation "
    "`kaito.sh/runtime` to `transformers`, or remove it.",
    "WeightsNotOffered": "Remove the annotation `atelier.dev/weights`, which is for "
    "`inference.preset`. Nothing has been bought.",
    "PresetNotTunable": "Take a preset that can be tuned (`python -m model_presets list` says "
    "which) in another Workspace.",
    "VolumesMissing": "Create the Secret, ConfigMap or claim that is missing; the pod goes on by "
    "itself. `kubectl describe pod` says which of them it is. A pull or push Secret has the type "
    "`kubernetes.io/dockerconfigjson` (`kubectl create secret docker-registry`).",
    "PodSandboxFailed": "The node could not give the pod a network or a sandbox; the message has "
    "the kubelet's words. Mostly the network plugin or the container runtime of that node: "
    "`kubectl describe node NODE`, and the plugin's pods there.",
    "PodNotHealthy": "Your program runs and its readiness probe fails; the message has what the "
    "kubelet saw. Look at the probe in `inference.template` and at `kubectl logs POD`.",
    "PodPreempted": "A pod of higher priority was given the GPU, or the node is being emptied. "
    "Free a GPU; the pod starts by itself then.",
    "ImageVolumeNotOffered": "Image volumes need Kubernetes 1.35, or an older one with the feature "
    "gate ImageVolume, and a container runtime that mounts them. Take `fetch` or a claim instead "
    "([weights.md](weights.md)). Nothing has been bought.",
    "FetchingWeights": "Nothing: `status.download` and the column Progress have bytes, speed and "
    "time left. Where the operator may not ask pods (`probe: readiness`) only `kubectl logs POD "
    "--container fetch-weights` has them.",
    "RevisionNotFound": "Check `repo` and `revision` of the preset, and whether the mirror of "
    "`hubEndpoint` has that revision.",
    "HubUnreachable": "Look whether the cluster lets pods out to the hub (HTTPS), or name a mirror "
    "in the chart's `hubEndpoint`. It is tried again by itself, and nothing is fetched twice.",
    "WrongBytes": "Mostly a mirror or a proxy that changes or cuts files. The file was thrown away "
    "and is fetched anew; nothing of it is ever loaded.",
    "FetchingData": "Mostly nothing: data or adapters are on their way. "
    "`kubectl logs POD --all-containers` shows how far.",
    "DataNotFetched": "The message has the words of the program that fetches: the address or the "
    "image, and what the other side answered. An image needs files below `/data`.",
    "WorkspaceTuningJobStatusPending": "Mostly nothing: the Job's pod is being placed or started.",
    "PreparingData": "Nothing: the data is being read and cut into tokens.",
    "Training": "Nothing: `status.tuning` and the column Progress have step, loss and time left.",
    "Saving": "Nothing.",
    "Pushing": "Nothing.",
    "TrainingRetried": "Mostly nothing. Where the output is a volume, the next pod goes on from "
    "the last checkpoint; else it begins anew.",
    "TrainingRefused": "The message says what cannot be done. Correct it; an edit of the Workspace "
    "or its ConfigMap starts another Job, and `kubectl delete job` does without one.",
    "TrainingFailed": "Read `kubectl logs job/NAME`. An edit starts another Job, and so does "
    "`kubectl delete job NAME`.",
    "PartitionNotOffered": "Remove `resource.partition`, and the model takes whole GPUs; a "
    "partition needs nodes that you bring.",
    "TemplateRefused": "The API server would refuse the pod of `inference.template`; the message "
    "has its words and the path. Correct the template. Nothing has been bought.",
    "SecretMissing": "Create the Secret that the message names, in the Workspace's namespace, with "
    "the key that it names. It is looked for again by itself.",
    "ClusterRefused": "Mostly a quota, a policy of the cluster, or a right that was taken from the "
    "operator: the message has the API server's words. It is tried again with growing pauses.",
    "NameConflict": "An object of that name is there already and belongs to somebody else. It is "
    "never touched: rename it, or apply the Workspace under another name.",
    "NodeClaimNotReady": "Mostly nothing: a machine takes minutes. The message names the "
    "NodeClaim; `kubectl describe nodeclaim NAME` has Karpenter's own account.",
    "InsufficientCapacityError": "The cloud has no such machine now. It is asked again with "
    "growing pauses, up to 15 minutes. The annotation `atelier.dev/instance-types` lists others to "
    "try.",
    "LaunchFailed": "The cloud refused the machine: mostly a type that does not exist in this "
    "region, a quota, or a node class that is not complete. The message has the cloud's words.",
    "KarpenterMissing": "Install Karpenter for your cloud: the definition "
    "`nodeclaims.karpenter.sh` is missing. It is noticed at once, and no try is counted before. "
    "Or bring nodes (chart: `nodeProvisioner: byo`).",
    "NodeClaimGone": "Somebody deleted the claim. Another is asked for; "
    "`kubectl get events -A --field-selector involvedObject.kind=NodeClaim` may say who.",
    "NodeNotReady": "Where nodes are made: wait, or look at the node that the message names. Where "
    "you bring them: label a node that has a GPU, as the message shows.",
    "NodePluginsNotReady": "Wait: drivers and device plugin take two to five minutes.",
    "GPUNotVisible": "The node is up and shows no GPU. Look at the driver and the device plugin: "
    "`kubectl get pods -A --field-selector spec.nodeName=NODE`. On nodes that are made, the "
    "machine is replaced once.",
    "GPUInUse": "Pods of somebody else hold the GPUs of the nodes that match; the message names "
    "them. Wait, delete them, or label another node.",
    "GPUUnhealthy": "The device plugin has found a GPU broken. A node that is made is replaced "
    "once; one of yours needs you: `nvidia-smi -q` on it, or a reboot.",
    "WorkspaceInferenceStatusPending": "Wait; the message says for what.",
    "PodRefused": "A quota or a policy of the namespace forbids the pod: "
    "`kubectl describe resourcequota`, and the message.",
    "Unschedulable": "No node has room for the pod: the message has the scheduler's count. Other "
    "pods may hold the GPU.",
    "PullingImage": "Wait: the image holds the weights, 15 GB for Mistral 7B.",
    "ImagePullError": "Check that the image exists (chart: `presetImage`) and that the node may "
    "read it (`presetOptions.imagePullSecrets`).",
    "ContainerStartError": "The kubelet cannot start the container: mostly a command that the "
    "image lacks, or a Secret that is gone. `kubectl describe pod NAME`. With weights `oci:IMAGE`, "
    '`failed to mkdir ""` is the word of a containerd older than 2.1, which mounts no images.',
    "PodEvicted": "The node needed room. Another pod is made; look at what else runs there.",
    "NodeDiskPressure": "Take an instance type with a larger disk: image and weights need 50 GB.",
    "NodeMemoryPressure": "Take an instance type with more memory, or move what else runs there.",
    "ContainerOOMKilled": "The process needs more host memory than its limit: take an instance "
    "type with more.",
    "ContainerCrashLoopBackOff": "`kubectl logs POD --previous` has its last words. It is started "
    "again with growing pauses.",
    "GPUOutOfMemory": "Take a GPU with more memory, or a shorter context (`max-model-len` in the "
    "ConfigMap of `inference.config`).",
    "GPUDriverFailed": "The node's driver is older than the image's CUDA, or broken: update it, or "
    "take another node image.",
    "GPUDeviceLost": "The GPU is gone from under the server: look for XID errors in the node's "
    "kernel log, and replace the node.",
    "DiskFull": "The pod's scratch space is full: take an instance type with a larger disk.",
    "ModelAccessDenied": "Accept the licence on the model's page of the hub, and put a token into "
    "the Secret of `presetOptions.modelAccessSecret`, key `HF_TOKEN`.",
    "WeightsRefused": "The weights are not those of the preset's lock file, or have none. In the "
    "image: rebuild it, and pull it by digest. On a volume: fill it again "
    "([weights.md](weights.md)).",
    "ModelServerFailed": "`kubectl logs POD` has the whole account.",
    "LoadingWeights": "Wait; `status.download` and `status.progress` count the bytes.",
    "WarmingUp": "Wait some seconds.",
    "ProbeFailed": "The pod calls itself ready and gave the operator no token. Let a NetworkPolicy "
    "pass from the operator to port 5000, or set `probe: readiness` in the chart.",
    "RollingOut": "Wait: a changed revision is being tried.",
    "BackedOut": "The revision never generated a token, and the pods are back at the one that did. "
    "Correct the Workspace or its ConfigMap by what the message says; an edit is tried at once.",
    "Draining": "Wait: open answers are finished first.",
    "Deleting": "Wait for the machines that the message names; the cloud takes minutes.",
}
