"""One worker among others: who lives, whose calls need steering, how one leaves."""
