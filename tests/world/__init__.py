"""
The world around the operator, played: a cloud, its nodes, their kubelet, and the model in a pod.

Nothing here is real but the HTTP: there is no machine and no container. `cloud.py` answers
NodeClaims as Karpenter would, `kubelet.py` places pods and reports on them, `model.py` listens on
an address of its own in 127.0.0.0/8 and speaks the server's contract. What makes pods of
Deployments and collects what lost its owner is the real kube-controller-manager.
"""

from tests.world import workspaces
from tests.world.api import Api
from tests.world.cloud import Cloud
from tests.world.kubelet import Kubelet
from tests.world.model import Model
from tests.world.play import World, play

__all__ = ["Api", "Cloud", "Kubelet", "Model", "World", "play", "workspaces"]
