"""The world: logged data in, rollouts out. Knows nothing of algorithms."""

from farama_notifications import notifications

# Gymnasium-Robotics prints one notice of its own when it is imported, whatever it is imported for: that Adroit's dense rewards once
# changed without a new version. docs/data.md says so; a user's first line is ours. Every other notice is printed as before.
_notices = notifications.get("gymnasium_robotics", {})
for _version in [v for v, text in _notices.items() if text.startswith("AdroitHand")]:
    del _notices[_version]
