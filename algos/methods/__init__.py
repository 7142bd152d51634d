"""The methods, one file each: settings, losses and equations. sac.py and td3.py are bases of several."""
