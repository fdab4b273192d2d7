"""What an objective asks of a place, laid over what the policy likes; `balanced` asks nothing."""
