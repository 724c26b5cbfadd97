"""What makes a network sparse: penalties on weights, masks, schedules, sparsifiers and lottery tickets."""
