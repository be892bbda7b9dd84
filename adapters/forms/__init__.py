"""Registration forms: ours and its mapping, and how anybody's answers become records."""

from adapters.forms.registration import registration_form, registration_mapping, write_xlsform

__all__ = ["registration_form", "registration_mapping", "write_xlsform"]
