"""Price lists: the data of genai-prices, and a file that overrides it."""
