"""What can be known of the rules without evaluating them."""
