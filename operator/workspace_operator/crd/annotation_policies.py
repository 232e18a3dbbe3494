"""
The policies about annotations: what is refused, and what is worth a warning.

Invariant and purpose as in ``policies``, which joins these to its own.
"""

from workspace_operator.api.annotations import (
    ANNOTATIONS,
    KAITO_PREFIX,
    OUR_PREFIX,
    Annotation,
    unknown_key,
)
from workspace_operator.api.limits import RESERVED_LABEL_PREFIX, RESERVED_LABELS
from workspace_operator.api.output_repository import (
    NEEDS_A_SECRET,
    NEEDS_A_TUNING,
    OUTPUT_ANNOTATION,
    SECRET_FIELD,
)
from workspace_operator.crd.policy import Check, Policy, text
from workspace_operator.crd.rule import quoted

NOW = "variables.now"
BEFORE = "variables.before"
_VARIABLES = {
    "now": "has(object.metadata.annotations) ? object.metadata.annotations : {}",
    "before": "oldObject != null && has(oldObject.metadata.annotations) "
    "? oldObject.metadata.annotations : {}",
}


def _where(key: str) -> str:
    return f"metadata.annotations[{key}]"


def _is_new(key: str) -> str:
    """Say in CEL that this request writes the annotation."""
    return f"('{key}' in {NOW} && !('{key}' in {BEFORE} && {BEFORE}['{key}'] == {NOW}['{key}']))"


def _value_check(each: Annotation) -> Check:
    value = f"{NOW}['{each.key}']"
    given = f"{value}.lowerAscii()" if each.any_case else value
    takes = (
        f"{value}.matches(r'{each.pattern}')"
        if each.pattern
        else f"{given} in {quoted(each.values)}"
    )
    return Check(
        field=_where(each.key),
        cel=f"!{_is_new(each.key)} || {takes}",
        message=f"""{text(_where(each.key) + ': "')} + {value} """
        f"""+ {text('" is not supported: ' + each.use)}""",
        about=each.use,
    )


def _fixed_check(each: Annotation) -> Check:
    key = each.key
    return Check(
        field=_where(key),
        cel=f"oldObject == null || ('{key}' in {NOW} ? {NOW}['{key}'] : '') "
        f"== ('{key}' in {BEFORE} ? {BEFORE}['{key}'] : '')",
        message=text(f"{_where(key)}: annotation {key} is immutable after creation"),
        about="cannot be changed after creation",
    )


def _output_checks() -> tuple[Check, ...]:
    """Hold the repository of an output against the rest: who writes to it, and what."""
    parts = SECRET_FIELD.split(".")
    paths = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    named = " && ".join(f"has(object.{path})" for path in paths)
    return (
        Check(
            field=_where(OUTPUT_ANNOTATION),
            cel=f"!{_is_new(OUTPUT_ANNOTATION)} || has(object.tuning)",
            message=text(f"{_where(OUTPUT_ANNOTATION)}: {NEEDS_A_TUNING}"),
            about=NEEDS_A_TUNING,
        ),
        Check(
            field=SECRET_FIELD,
            cel=f"!{_is_new(OUTPUT_ANNOTATION)} || !has(object.tuning) "
            f"|| ({named} && object.{SECRET_FIELD} != '')",
            message=text(f"{SECRET_FIELD}: {NEEDS_A_SECRET}"),
            about=NEEDS_A_SECRET,
        ),
    )


def _unknown_keys(prefix: str) -> str:
    known = quoted(tuple(each.key for each in ANNOTATIONS if each.key.startswith(prefix)))
    return (
        f"{NOW}.filter(key, key.startsWith('{prefix}') && !(key in {BEFORE}) && !(key in {known}))"
    )


def annotations() -> Policy:
    """Give the policy that refuses what nobody can have meant."""
    strangers = _unknown_keys(OUR_PREFIX)
    return Policy(
        denies=True,
        variables=_VARIABLES,
        checks=(
            *(_value_check(each) for each in ANNOTATIONS if each.values or each.pattern),
            *(_fixed_check(each) for each in ANNOTATIONS if each.fixed),
            *_output_checks(),
            Check(
                field=_where(f"{OUR_PREFIX}*"),
                cel=f"size({strangers}) == 0",
                message=f"'metadata.annotations[' + {strangers}[0] + ']: ' + {text(unknown_key())}",
                about=unknown_key(),
            ),
        ),
    )


def hints() -> Policy:
    """Give the policy that warns of what is taken and then has no effect."""
    strangers = _unknown_keys(KAITO_PREFIX)
    reserved = (
        "object.resource.labelSelector.matchLabels.filter(key, "
        f"key in {quoted(RESERVED_LABELS)} || key.startsWith('{RESERVED_LABEL_PREFIX}'))"
    )
    labelled = (
        "has(object.resource) && has(object.resource.labelSelector) "
        "&& has(object.resource.labelSelector.matchLabels)"
    )
    idle = "has no effect here"
    return Policy(
        denies=False,
        variables=_VARIABLES,
        checks=(
            *(
                Check(
                    field=_where(each.key),
                    cel=f"!{_is_new(each.key)}",
                    message=text(f"{_where(each.key)}: {idle} ({each.does})"),
                    about=f"{idle} ({each.does})",
                )
                for each in ANNOTATIONS
                if each.idle
            ),
            Check(
                field=_where("kaito.sh/runtime"),
                cel=f"!{_is_new('kaito.sh/runtime')} || {NOW}['kaito.sh/runtime'] != 'vllm'",
                message=text(
                    f"{_where('kaito.sh/runtime')}: vllm is not offered here, and the Workspace "
                    "will say so: use transformers or remove it"
                ),
                about="vllm is not offered here",
            ),
            Check(
                field=_where(f"{KAITO_PREFIX}*"),
                cel=f"size({strangers}) == 0",
                message=f"'metadata.annotations[' + {strangers}[0] + ']: is not an annotation of a "
                "Workspace that is known here, and has no effect'",
                about="is not known, so a misspelt key does not go unseen",
            ),
            Check(
                field="resource.preferredNodes",
                cel="oldObject != null "
                "|| !has(object.resource) || !has(object.resource.preferredNodes) "
                "|| size(object.resource.preferredNodes) == 0",
                message=text(
                    f"resource.preferredNodes: {idle}: choose nodes by resource.labelSelector"
                ),
                about=idle,
            ),
            Check(
                field="resource.labelSelector.matchLabels",
                cel=f"oldObject != null || !({labelled}) || size({reserved}) == 0",
                message=f"'resource.labelSelector.matchLabels: ' + {reserved}[0] + ' is reserved, "
                "and ignored'",
                about="a reserved label is ignored",
            ),
        ),
    )
