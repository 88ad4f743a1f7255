"""What an error of the TLS library means: one cause of `loadgen.net.failure` for each."""

import ssl
from typing import Final

from loadgen.net.failure import Cause, LayerError

# X509_V_ERR_* (x509_vfy.h): not valid yet, expired; another host name, another address.
_CAUSE_OF_VERIFICATION: Final = {
    9: Cause.CERTIFICATE_EXPIRED,
    10: Cause.CERTIFICATE_EXPIRED,
    62: Cause.CERTIFICATE_NAME,
    64: Cause.CERTIFICATE_NAME,
}

# Reasons of OpenSSL (sslerr.h); those with ALERT are what the server says (RFC 8446, 6.2).
_CAUSE_OF_REASON: Final = {
    "WRONG_VERSION_NUMBER": Cause.NOT_TLS,
    "HTTP_REQUEST": Cause.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Cause.NOT_TLS,
    "RECORD_LAYER_FAILURE": Cause.NOT_TLS,
    "UNSUPPORTED_PROTOCOL": Cause.TLS_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": Cause.TLS_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Cause.TLS_PARAMETERS,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": Cause.TLS_PARAMETERS,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": Cause.TLS_PARAMETERS,
    "NO_CIPHERS_AVAILABLE": Cause.TLS_PARAMETERS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Cause.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": Cause.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Cause.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Cause.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": Cause.CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": Cause.CLIENT_CERTIFICATE,
}


def cause_of(error: ssl.SSLError) -> Cause:
    """Return the cause that an error of the library means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CAUSE_OF_VERIFICATION.get(error.verify_code, Cause.CERTIFICATE)
    if isinstance(error, ssl.SSLEOFError):
        return Cause.CLOSED
    return _CAUSE_OF_REASON.get(getattr(error, "reason", ""), Cause.TLS)


def end_of(error: ssl.SSLError) -> OSError | int:
    """Return what a read comes to that has met ``error``: 0 if the stream has ended."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return 0
    return LayerError(cause_of(error), str(error))
