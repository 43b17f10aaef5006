"""Data directories as versions have left them, which every later version must open (promise P11)."""
