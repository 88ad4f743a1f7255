"""Pictures and pages made of RunRecords."""
