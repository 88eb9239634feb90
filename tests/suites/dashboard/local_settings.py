"""Horizon's `local_settings` for the suite. `horizon.py` copies it to where Horizon reads it.

`DASHBOARD_DIRECTORY` is the directory of the static files, and `DASHBOARD_AUTH_URL` is the address of dev-identity.
"""

import os

from openstack_dashboard.settings import HORIZON_CONFIG

LOCAL_PATH = os.path.dirname(os.path.abspath(__file__))
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]

# The static files are made once, before the first start.
STATIC_ROOT = os.path.join(os.environ["DASHBOARD_DIRECTORY"], "static")
COMPRESS_OFFLINE = True
AVAILABLE_THEMES = [("default", "Default", "themes/default")]
LANGUAGES = (("en", "English"),)

# Without a memcached.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

OPENSTACK_KEYSTONE_URL = os.environ.get("DASHBOARD_AUTH_URL", "")
# The default page after the sign-in is the usage of Nova, which is not there.
HORIZON_CONFIG["user_home"] = "/project/volumes/"
# Transitional rows are asked for again after this many milliseconds, which is also Horizon's default.
HORIZON_CONFIG["ajax_poll_interval"] = 2500
HORIZON_CONFIG["help_url"] = None

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
