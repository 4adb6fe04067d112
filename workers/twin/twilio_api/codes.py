"""Twilio's error codes: what REST answers with, and what the debugger would show for a call.

Source: twilio.com/docs/api/errors/<code>; HTTP statuses as observed by others, see the table.
"""

from __future__ import annotations

REST_ERRORS: dict[int, tuple[int, str]] = {
    10004: (429, "Call concurrency limit exceeded"),
    20003: (401, "Authenticate"),
    20009: (409, "Cannot delete this resource in this state"),
    20404: (404, "The requested resource was not found"),
    20422: (400, "Invalid parameter"),
    20429: (429, "Too many requests"),
    20500: (500, "Internal Server Error"),
    20503: (503, "Service unavailable"),
    21201: (400, "No 'To' number specified"),
    21205: (400, "Url is not a valid URL"),
    21210: (400, "The source phone number provided is not yet verified for your account"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Phone Number"),
    21213: (400, "No 'From' number specified"),
    21220: (400, "Call is not in-progress. Cannot redirect."),
    21214: (400, "'To' phone number cannot be reached"),
    21215: (400, "Geo-Permission configuration is not permitting call"),
    21216: (400, "Call blocked by Twilio"),
    21217: (400, "Phone number does not appear to be valid"),
    21234: (400, "Invalid machine detection parameter"),
    21262: (400, "AsyncAmd requires AsyncAmdStatusCallback"),
    21626: (400, "Invalid status callback event(s)"),
    22005: (400, "Call queue holds more than 24 hours of calls"),
    32018: (400, "Twiml parameter is longer than 4000 characters"),
}

WARNINGS: dict[int, str] = {
    11200: "HTTP retrieval failure",
    11205: "HTTP connection failure",
    11210: "HTTP bad host name",
    11215: "HTTP too many redirects",
    11220: "SSL/TLS handshake error",
    11750: "TwiML response body too large",
    12100: "Document parse failure",
    12200: "Schema validation warning",
    12300: "Invalid Content-Type",
    13214: "Dial: invalid callerId",
    15002: "Call progress: queue time-out",
    15003: "Call progress: warning response to callback URL",
    31901: "Stream - WebSocket - connection timeout",
    31902: "Stream - WebSocket - connection refused",
    31903: "Stream - WebSocket - connection broken pipe",
    31904: "Stream - WebSocket - connection failed (unreachable or DNS)",
    31910: "Stream - WebSocket - SSL/TLS error",
    31920: "Stream - WebSocket - handshake error",
    31921: "Stream - WebSocket - close error (the server closed the socket)",
    31922: "Stream - WebSocket - unsupported protocol",
    31923: "Stream - WebSocket - malformed URL",
    31924: "Stream - WebSocket - protocol error",
    31930: "Stream - media - server reads too slowly, audio discarded",
    31931: "Stream - media - more than 10 minutes queued, audio discarded",
    31941: "Stream - invalid track configuration",
    31950: "Stream - message - binary frame received",
    31951: "Stream - message - invalid message",
    32017: "PSTN - carrier blocked the call for its calling number",
}
