"""Pure decisions: identity, formats, versions, conditions, masks, share views. No I/O, no clock, no chance."""
