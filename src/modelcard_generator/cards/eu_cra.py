"""What Regulation (EU) 2024/2847 (Cyber Resilience Act) wants said of a product with digital elements.

Annex II: information and instructions to the user. Annex VII: technical documentation. Annex V: EU declaration of
conformity. Annex I: the essential requirements. A field is required where the regulation requires it; what it wants
"where applicable" may be left out. A card is not the declaration itself: that is signed, and kept for ten years.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Final, Literal, get_args

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from modelcard_generator.cards.fields import AtLeastOne, Line, Paragraph, Part, Several, Text, Url

Requirement = Literal[
    "I(1)", "I(2)(a)", "I(2)(b)", "I(2)(c)", "I(2)(d)", "I(2)(e)", "I(2)(f)", "I(2)(g)", "I(2)(h)", "I(2)(i)",
    "I(2)(j)", "I(2)(k)", "I(2)(l)", "I(2)(m)", "II(1)", "II(2)", "II(3)", "II(4)", "II(5)", "II(6)", "II(7)", "II(8)",
]  # fmt: skip
"""Part and point of Annex I."""

REQUIREMENTS: Final[dict[Requirement, str]] = {
    "I(1)": "Cybersecurity appropriate to the risks",
    "I(2)(a)": "No known exploitable vulnerabilities",
    "I(2)(b)": "Secure by default",
    "I(2)(c)": "Security updates",
    "I(2)(d)": "Protection from unauthorised access",
    "I(2)(e)": "Confidentiality of data",
    "I(2)(f)": "Integrity of data, commands and configuration",
    "I(2)(g)": "Data minimisation",
    "I(2)(h)": "Availability of essential functions",
    "I(2)(i)": "No harm to the availability of others",
    "I(2)(j)": "Limited attack surfaces",
    "I(2)(k)": "Reduced impact of incidents",
    "I(2)(l)": "Recording and monitoring of security",
    "I(2)(m)": "Secure removal and transfer of data",
    "II(1)": "Components and vulnerabilities identified, with an SBOM",
    "II(2)": "Vulnerabilities remediated without delay",
    "II(3)": "Regular tests and reviews of security",
    "II(4)": "Fixed vulnerabilities disclosed",
    "II(5)": "Coordinated vulnerability disclosure policy",
    "II(6)": "Sharing of information about vulnerabilities",
    "II(7)": "Secure distribution of updates",
    "II(8)": "Security updates without delay and free of charge",
}

Procedure = Literal[
    "internal control (module A)",
    "EU-type examination (module B) with conformity to type (module C)",
    "full quality assurance (module H)",
    "European cybersecurity certification scheme",
]
"""Article 32(1): how conformity is assessed."""


class Product(Part):
    """Which product, and what for: Annex II, points 3 and 4; Annex VII, point 1."""

    name: Line  # Annex II, point 3
    type: Line  # Annex II, point 3
    version: Line  # Annex VII, point 1(b): software that affects compliance
    identification: Line | None = None  # Annex II, point 3: any additional information, such as a purl or a hash
    intended_purpose: Text  # Annex II, point 4; Annex VII, point 1(a)
    security_environment: Text  # Annex II, point 4: what the manufacturer provides
    essential_functionalities: Text  # Annex II, point 4
    illustrations: Several[Url] = ()  # Annex VII, 1(c): hardware only


class Manufacturer(Part):
    """Who made it and how to reach them: Annex II, point 1; Annex V, point 2."""

    name: Line  # or registered trade name or trademark
    postal_address: Paragraph
    digital_contact: Line  # email address or other
    website: Url | None = None  # where available
    authorised_representative: Paragraph | None = None  # Annex V, point 2: name and address


class VulnerabilityReporting(Part):
    """The single point of contact, and the policy on coordinated disclosure: Annex II, point 2."""

    contact: Line
    disclosure_policy: Url


class ForeseeableRisk(Part):
    """A circumstance of use or foreseeable misuse that may lead to significant risks: Annex II, point 5."""

    circumstance: Paragraph
    consequence: Paragraph


class Security(Part):
    """What protects it, and what may not: Annex II, points 4 and 5."""

    properties: AtLeastOne[Paragraph]
    foreseeable_risks: Several[ForeseeableRisk]  # empty: none known


class Support(Part):
    """Technical security support, and until when: Annex II, point 7; Annex VII, point 4."""

    type: Paragraph
    end_date: dt.date  # of the support period; ISO 8601
    determination: Text  # what was taken into account to determine it: Article 13(8)


class Instructions(Part):
    """How to use it securely: Annex II, point 8. Either at `url`, or (a) to (e) are required."""

    url: Url | None = None
    commissioning_and_use: Text | None = None  # (a)
    changes_affecting_data: Text | None = None  # (b)
    installing_updates: Text | None = None  # (c)
    decommissioning: Text | None = None  # (d), with how user data is removed
    automatic_updates_off: Text | None = None  # (e)
    integration: Text | None = None  # (f): for what is built into other products

    @model_validator(mode="after")
    def _complete(self) -> Instructions:
        required = (
            "commissioning_and_use", "changes_affecting_data", "installing_updates", "decommissioning",
            "automatic_updates_off",
        )  # fmt: skip
        missing = [field for field in required if getattr(self, field) is None]
        if self.url is None and missing:
            raise PydanticCustomError("card_missing", "needs url, or else {fields}", {"fields": ", ".join(missing)})
        return self


class Sbom(Part):
    """Where users find the software bill of materials, if it is made available to them: Annex II, point 9."""

    location: Url
    format: Line | None = None  # such as CycloneDX 1.6


class Design(Part):
    """Design, development, production and vulnerability handling: Annex VII, point 2."""

    architecture: Text  # (a)
    vulnerability_handling: Text  # (b)
    update_distribution: Text  # (b): how updates are distributed securely
    production_and_monitoring: Text  # (c), with its validation


class RequirementMet(Part):
    """How one essential requirement applies and is met, or why it does not apply: Article 13(3) and (4)."""

    requirement: Requirement
    applicable: bool
    how: Paragraph


class RiskAssessment(Part):
    """The assessment of cybersecurity risks, and all of Annex I: Annex VII, point 3."""

    assessment: Text
    requirements: Several[RequirementMet]

    @model_validator(mode="after")
    def _complete(self) -> RiskAssessment:
        given = Counter(each.requirement for each in self.requirements)
        if missing := [each for each in get_args(Requirement) if not given[each]]:
            raise PydanticCustomError(
                "card_missing", "needs each requirement of Annex I, and lacks {points}", {"points": ", ".join(missing)}
            )
        if max(given.values()) > 1:
            raise PydanticCustomError("card_bad_value", "must have each requirement of Annex I once")
        return self


class Standard(Part):
    """A standard, specification or scheme that was applied: Annex V, point 6; Annex VII, point 5."""

    reference: Line
    kind: Literal["harmonised standard", "common specification", "certification scheme", "other specification"]
    parts_applied: Line | None = None  # if only partly applied


class TestReport(Part):
    """What verified conformity: Annex VII, point 6."""

    title: Line
    result: Paragraph
    url: Url | None = None


class NotifiedBody(Part):
    """Who assessed, where one was involved: Annex V, point 7."""

    name: Line
    number: Line
    certificate: Line


class Declaration(Part):
    """What the EU declaration of conformity says beside the above: Annex V, points 5, 7 and 8; Annex II, point 6."""

    url: Url | None = None  # where applicable
    legislation: AtLeastOne[Line] = ("Regulation (EU) 2024/2847",)
    place: Line
    date: dt.date  # of issue; ISO 8601
    signatory: Line
    function: Line


class Conformity(Part):
    """Why it may be said to conform: Annex VII, points 5 to 7. Without standards, `solutions` is required."""

    procedure: Procedure
    standards: Several[Standard]
    solutions: Text | None = None  # Annex VII, point 5: how requirements are met where no standard is applied
    test_reports: AtLeastOne[TestReport]
    notified_body: NotifiedBody | None = None
    declaration: Declaration

    @model_validator(mode="after")
    def _founded(self) -> Conformity:
        if not self.standards and self.solutions is None:
            raise PydanticCustomError("card_missing", "needs solutions when no standards are applied")
        if self.procedure.startswith(("EU-type", "full")) and self.notified_body is None:
            raise PydanticCustomError("card_missing", "needs notified_body with this procedure")
        return self


class EuCraDescription(Part):
    """A product's card under the Cyber Resilience Act."""

    product: Product
    manufacturer: Manufacturer
    vulnerability_reporting: VulnerabilityReporting
    security: Security
    support: Support
    instructions: Instructions
    sbom: Sbom | None = None
    design: Design
    risk_assessment: RiskAssessment
    conformity: Conformity

    @property
    def name(self) -> str:
        """What the card is listed under."""
        return self.product.name
