"""Repositories of the Hugging Face Hub: their addresses, checked downloads into the Hub's cache, uploads."""
