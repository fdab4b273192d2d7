"""The server behind `gpualloc top --serve`: who may come in, the page, and one dashboard process for each tab."""
