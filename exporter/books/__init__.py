"""The ledger: joules and seconds by workload, in counters that never go down."""
