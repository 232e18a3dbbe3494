"""
Sign digests with cosign, attest what is in them, and verify both.

A name without a digest is never signed: between the push and the signature the tag could move.
Without a transparency log unless the user asks for one: an entry there is public for ever, with
the digest and the key of whoever has a registry of their own. cosign 3 takes the services from a
file; one without a log is how its `--tlog-upload=false` is spelt now.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from release.contents import ReleaseError
from release.programs import Programs, output_of

BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
BILL = "cyclonedx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """
    Hold a key and what it is used with.

    Attributes:
        programs: Where cosign is.
        key: A file, or the URI of a key in a KMS (awskms://, gcpkms://, azurekms://, hashivault://).
        public_key: File with the public half, in PEM.
        signing: Arguments for signing: which services are asked, or none.
        verifying: Arguments for verifying: whether an entry in a log is asked for.
    """

    programs: Programs
    key: str
    public_key: Path
    signing: tuple[str, ...]
    verifying: tuple[str, ...]


def signer(programs: Programs, key: str, folder: Path, *, transparency_log: bool) -> Signer:
    """
    Make a signer, and write the public half of its key to cosign.pub in a folder.

    Raises:
        ReleaseError: cosign cannot read the key.
    """
    if not key:
        raise ReleaseError(
            "no key; name the file that `cosign generate-key-pair` wrote, or the URI of a key in a"
            " KMS, as in awskms:///alias/atelier"
        )
    if "://" not in key and not Path(key).is_file():
        raise ReleaseError(f"key {key}: no such file; `cosign generate-key-pair` writes one")
    if "://" not in key and "COSIGN_PASSWORD" not in programs.environment:
        raise ReleaseError(f"key {key}: put its password into COSIGN_PASSWORD, empty for none")
    public = folder / "cosign.pub"
    environment = programs.environment
    output_of(
        *(programs.cosign, "public-key", "--key", key, "--outfile", public),
        environment=environment,
    )
    if transparency_log:
        signing, verifying = [], []
    else:
        services, root = folder / "signing-config.json", folder / "trusted-root.json"
        output_of(
            *(programs.cosign, "signing-config", "create", "--out", services),
            environment=environment,
        )
        output_of(
            *(programs.cosign, "trusted-root", "create", "--out", root),
            environment=environment,
        )
        signing = ["--signing-config", str(services), "--trusted-root", str(root)]
        verifying = ["--insecure-ignore-tlog"]
    return Signer(
        programs=programs,
        key=key,
        public_key=public,
        signing=tuple(signing),
        verifying=tuple(verifying),
    )


def sign(by: Signer, reference: str) -> None:
    """
    Sign what a digest names; the signature lies beside it in the registry.

    Raises:
        ReleaseError: cosign's words, or a name without a digest.
    """
    _cosign(by, "sign", "--yes", "--key", by.key, *by.signing, _pinned(reference))


def attest(by: Signer, reference: str, bill: Path) -> None:
    """
    Sign a bill of materials as that of what a digest names.

    Raises:
        ReleaseError: cosign's words, or a name without a digest.
    """
    predicate = ("--type", BILL, "--predicate", str(bill))
    _cosign(by, "attest", "--yes", "--key", by.key, *by.signing, *predicate, _pinned(reference))


def verify(by: Signer, reference: str) -> None:
    """
    Check that the key signed what a digest names.

    Raises:
        ReleaseError: it did not, or the registry holds something else.
    """
    _cosign(by, "verify", "--key", by.public_key, *by.verifying, _pinned(reference))


def verify_bill(by: Signer, reference: str) -> None:
    """
    Check that the key attested a bill of materials of what a digest names.

    Raises:
        ReleaseError: it did not.
    """
    key = ("--key", by.public_key, "--type", BILL)
    _cosign(by, "verify-attestation", *key, *by.verifying, _pinned(reference))


def _pinned(reference: str) -> str:
    if BY_DIGEST.fullmatch(reference) is None:
        raise ReleaseError(f"{reference}: not named by a digest (NAME@sha256:...)")
    return reference


def _cosign(by: Signer, command: str, *arguments: object) -> str:
    http = ("--allow-http-registry",) if by.programs.plain_http else ()
    return output_of(
        by.programs.cosign, command, *http, *arguments, environment=by.programs.environment
    )
