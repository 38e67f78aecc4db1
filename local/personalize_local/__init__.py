"""Run Amazon Personalize locally: its HTTP protocols, with trained models behind them."""
