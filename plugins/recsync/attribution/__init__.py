"""Attribution: which events followed which mail, and what Amazon Personalize reports about them."""
