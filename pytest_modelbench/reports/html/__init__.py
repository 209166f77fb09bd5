"""The report as one HTML file: verdict, tables, and plots that are drawn as SVG without any script."""
