"""The board's management controller over the network: Redfish, its sessions and what it says of power.

Imports from the configuration, the HTTP client and the estimator's meters.
"""
