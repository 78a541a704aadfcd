"""What each virtual machine was billed, shown to it as a power meter. Imports books, names and below."""
