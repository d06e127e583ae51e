"""What must survive: the ledger, the vault, the records of the runs and the journal of the run that is going on."""
