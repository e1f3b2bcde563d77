"""ATT&CK techniques that the log of an identity provider can show: what `rules coverage` holds rules against.

Our own choice of the Enterprise matrix: those whose traces are logins, second factors, tokens, accounts
and settings. A rule may name any other; it is listed, too.
"""

from __future__ import annotations

TECHNIQUES: dict[str, str] = {
    "T1069.003": "Permission Groups Discovery: Cloud Groups",
    "T1078": "Valid Accounts",
    "T1078.001": "Valid Accounts: Default Accounts",
    "T1078.004": "Valid Accounts: Cloud Accounts",
    "T1087.004": "Account Discovery: Cloud Account",
    "T1098.001": "Account Manipulation: Additional Cloud Credentials",
    "T1098.003": "Account Manipulation: Additional Cloud Roles",
    "T1098.005": "Account Manipulation: Device Registration",
    "T1110.001": "Brute Force: Password Guessing",
    "T1110.003": "Brute Force: Password Spraying",
    "T1110.004": "Brute Force: Credential Stuffing",
    "T1136.003": "Create Account: Cloud Account",
    "T1199": "Trusted Relationship",
    "T1213": "Data from Information Repositories",
    "T1484.002": "Domain or Tenant Policy Modification: Trust Modification",
    "T1485": "Data Destruction",
    "T1496": "Resource Hijacking",
    "T1528": "Steal Application Access Token",
    "T1531": "Account Access Removal",
    "T1539": "Steal Web Session Cookie",
    "T1550.001": "Use Alternate Authentication Material: Application Access Token",
    "T1550.004": "Use Alternate Authentication Material: Web Session Cookie",
    "T1556": "Modify Authentication Process",
    "T1556.006": "Modify Authentication Process: Multi-Factor Authentication",
    "T1556.007": "Modify Authentication Process: Hybrid Identity",
    "T1556.009": "Modify Authentication Process: Conditional Access Policies",
    "T1562.001": "Impair Defenses: Disable or Modify Tools",
    "T1562.008": "Impair Defenses: Disable or Modify Cloud Logs",
    "T1585": "Establish Accounts",
    "T1589.001": "Gather Victim Identity Information: Credentials",
    "T1589.002": "Gather Victim Identity Information: Email Addresses",
    "T1595.002": "Active Scanning: Vulnerability Scanning",
    "T1606.002": "Forge Web Credentials: SAML Tokens",
    "T1621": "Multi-Factor Authentication Request Generation",
}
