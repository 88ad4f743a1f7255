"""What all tests have in common."""

from hypothesis import settings

settings.register_profile("tests", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("tests")
